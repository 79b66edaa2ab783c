"""The slow decoder's residuals: a stage of r under Gaussian rows, the trellis or mixtures (FORMAT 7.6, 7.8, 7.9).
Imports nothing of pillow_lic.
"""

from slow_reader import ceil_div, demand


def flatten(planes):
    """[channel][row][column] in coding order."""
    return [value for plane in planes for row in plane for value in row]


def bank_row(tables, k):
    """(first value, frequencies, cumulative frequencies)."""
    return tables.first[k], tables.freq[k], tables.cumulative[k]


# ---- FORMAT 7.6: Gaussian rows --------------------------------------------------------------------------------------


def plain_stage(stream, tables, indices, low, high):
    """({position: symbol}, whether words ended) of a stage (FORMAT 7.6): one run. indices: flat."""
    there = [at for at, index in enumerate(indices) if max(low, tables.skip) <= index < high]
    symbols, ended = stream.run(len(there), lambda i, _: bank_row(tables, indices[there[i]]))
    return dict(zip(there, symbols)), ended


# ---- FORMAT 7.8: mixtures -------------------------------------------------------------------------------------------


def mixture_row(tables, b):
    """(first value, frequencies, cumulative frequencies) from the 3 K bytes of a position (FORMAT 7.8)."""
    n = tables.components
    inverse = [tables.inverse[min(s, tables.scales - 1)] for s in b[:n]]
    offset, a = [o - 128 for o in b[n : 2 * n]], [max(value, 1) for value in b[2 * n :]]
    share = [value * 65535 // sum(a) for value in a]
    share[0] = 65535 - sum(share[1:])
    end = [ceil_div(2**24, i) for i in inverse]
    rho = max(4, *((d + 23) // 16 + (abs(o) + 15) // 16 for d, o in zip(end, offset)))

    def phi(k, d):
        t, v = abs(d) * inverse[k], 32768
        if abs(d) < end[k]:
            low, high = tables.normal[t >> 16], tables.normal[(t >> 16) + 1]
            v = low + ((high - low) * (t >> 8 & 255) >> 8)
        return 32768 - v if d < 0 else min(32768 + v, 65535)

    cumulative = []
    for x in range(-rho, rho + 2):
        total = sum(phi(k, 16 * x - 8 - offset[k]) * share[k] >> 16 for k in range(n))
        cumulative.append((total * (65534 - 2 * rho) >> 16) + x + rho)
    return -rho, [high - low for low, high in zip(cumulative, [*cumulative[1:], 65536])], cumulative


def mixture_stage(stream, tables, grids):
    """(symbols, r, whether words ended) of r under mixtures, every position coded: runs of 256."""
    bytes_of = [flatten([grid]) for grid in grids]
    positions, r = len(bytes_of[0]), []
    for start in range(0, tables.latent * positions, 256):

        def row(i, _, start=start):
            m, at = divmod(start + i, positions)
            return mixture_row(tables, [plane[at] for plane in bytes_of[m :: tables.latent]])

        symbols, ended = stream.run(min(256, tables.latent * positions - start), row)
        r += symbols
        if ended:
            break
    return r, r, ended


# ---- FORMAT 7.9: the trellis ----------------------------------------------------------------------------------------


def next_state(state, symbol):
    """The state of a position in the channel after a symbol of the trellis (FORMAT 7.9)."""
    return state >> 1 ^ (157 >> 1 if state & 1 else 0) ^ (86 >> 1 if symbol & 1 else 0)


def level_of(symbol, index, state, trellis):
    """What stands in r for a symbol (FORMAT 7.9)."""
    if index < trellis:
        return 3 * symbol
    sign = (symbol > 0) - (symbol < 0)
    return 4 * symbol - 2 * sign if state & 1 else 4 * symbol


def dependent_channel(stream, tables, indices, states, low, high):
    """The same of a channel of a stage (FORMAT 7.9), whose positions' states move on; with levels behind it."""
    there = [at for at, index in enumerate(indices) if max(low, tables.skip) <= index < high]
    inside = [indices[at] >= tables.trellis for at in there]
    rows = [indices[at] + (tables.scales if one and states[at] & 1 else 0) for at, one in zip(there, inside)]
    symbols, ended = stream.run(len(there), lambda i, _: bank_row(tables, rows[i]))
    levels = {}
    for at, one, symbol in zip(there, inside, symbols):
        levels[at] = level_of(symbol, indices[at], states[at], tables.trellis)
        demand(-32768 <= levels[at] <= 32767, "a level is outside i16")
        states[at] = next_state(states[at], symbol) if one else states[at]
    return symbols, levels, ended


# ---- A stage --------------------------------------------------------------------------------------------------------


def residual_stage(stream, tables, planes, states, low, high, r):
    """(symbols, whether words ended) of a stage, whose elements are written into r, flat lists of each channel."""
    if tables.trellis is None:
        found, ended = plain_stage(stream, tables, [index for plane in planes for index in plane], low, high)
        for at, value in found.items():
            r[at // len(planes[0])][at % len(planes[0])] = value
        return list(found.values()), ended
    coded = []
    for m, indices in enumerate(planes):
        symbols, levels, ended = dependent_channel(stream, tables, indices, states, low, high)
        coded += symbols
        for at, level in levels.items():
            r[m][at] = level
        if ended:
            return coded, True
    return coded, False
