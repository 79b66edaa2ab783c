// Refusals, named as in FORMAT appendix A. Imports nothing.

export const REFETCH = 'the file is damaged, fetch it again';
export const UPGRADE = 'a newer decoder may read it';
export const ENDS = 'the data ends too early, fetch the file again';
export const DISTRUST = 'distrust the file';

/** Why a file, a model or an option is refused. `name` is that of FORMAT appendix A: 'LicTruncated', for example. */
export class LicError extends Error {
    constructor(name, message, options) {
        super(message, options);
        this.name = name;
    }
}

/** Throws the error of that name: what is wrong, at which byte of the file, and what to do. */
export function refuse(name, what, offset, advice) {
    throw new LicError(name, `${what} at byte ${offset}; ${advice}`);
}
