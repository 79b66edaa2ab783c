"""SOAP (Vyas et al. 2024, arXiv 2409.11321): Adam in the eigenbasis of Shampoo's preconditioner.

Matrices (1x1 and strided convolutions, flattened to outputs x inputs) are preconditioned on each side of at most
`limit` rows; everything else falls to plain Adam. Two changes for speed: the first moment is kept in the rotated
basis, and the rotations run in a type of their own, bfloat16 where the machine is fast at it. Imports torch only.
"""

from __future__ import annotations

import torch
from torch import Tensor


class Soap(torch.optim.Optimizer):
    """`every`: steps between updates of the eigenbasis; `gather`: steps between updates of the preconditioner;
    `rotations`: type of new bases.
    """

    def __init__(
        self, params, lr=2e-3, betas=(0.95, 0.95), eps=1e-8, every=24, gather=4, limit=1100, rotations=torch.bfloat16
    ):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps})
        self.every, self.gather, self.limit, self.rotations = every, gather, limit, rotations

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._update(p, group)

    def _update(self, p: Tensor, group: dict) -> None:
        state = self.state[p]
        grad = p.grad.float()
        if p.dim() in (2, 4) and p.shape[0] > 1 and p[0].numel() > 32:
            grad = grad.reshape(p.shape[0], -1)  # (outputs, inputs)
        if not state:
            self._initialise(state, grad)
            return  # the first gradient only sets the basis up
        state["step"] += 1
        n, (beta1, beta2) = state["step"], group["betas"]
        rotated = _rotate(grad, state)
        state["mean"].lerp_(rotated, 1 - beta1)
        state["square"].mul_(beta2).addcmul_(rotated, rotated, value=1 - beta2)
        scale = (state["square"] / (1 - beta2**n)).sqrt_().add_(group["eps"])
        update = _rotate_back(state["mean"] / scale, state)
        p.add_(update.reshape(p.shape), alpha=-group["lr"] / (1 - beta1**n))
        if n % self.gather == 0:
            self._accumulate(state, grad, beta2**self.gather)
        if n % self.every == 0:
            self._turn_basis(state)

    def _initialise(self, state: dict, grad: Tensor) -> None:
        state["step"] = 0
        state["mean"] = torch.zeros_like(grad)
        state["square"] = torch.zeros_like(grad)
        if grad.dim() == 2 and grad.shape[0] <= self.limit:
            state["left"] = grad @ grad.T
            state["left_basis"] = _eigenvectors(state["left"]).to(self.rotations)
        if grad.dim() == 2 and grad.shape[1] <= self.limit:
            state["right"] = grad.T @ grad
            state["right_basis"] = _eigenvectors(state["right"]).to(self.rotations)

    def _accumulate(self, state: dict, grad: Tensor, beta: float) -> None:
        g = grad.to(self.rotations)
        if "left" in state:
            state["left"].lerp_((g @ g.T).float(), 1 - beta)
        if "right" in state:
            state["right"].lerp_((g.T @ g).float(), 1 - beta)

    def _turn_basis(self, state: dict) -> None:
        """One step of orthogonal iteration; the first moment moves along, the second is left as it is."""
        mean = _rotate_back(state["mean"], state)
        for side in ("left", "right"):
            if side in state:
                basis = state[side + "_basis"].float()
                state[side + "_basis"] = torch.linalg.qr(state[side] @ basis).Q.to(self.rotations)
        state["mean"] = _rotate(mean, state)


def _rotate(x: Tensor, state: dict) -> Tensor:
    if "left_basis" in state:
        basis = state["left_basis"]
        x = basis.T @ x.to(basis.dtype)
    if "right_basis" in state:
        basis = state["right_basis"]
        x = x.to(basis.dtype) @ basis
    return x.float()


def _rotate_back(x: Tensor, state: dict) -> Tensor:
    if "left_basis" in state:
        basis = state["left_basis"]
        x = basis @ x.to(basis.dtype)
    if "right_basis" in state:
        basis = state["right_basis"]
        x = x.to(basis.dtype) @ basis.T
    return x.float()


def _eigenvectors(matrix: Tensor) -> Tensor:
    matrix = matrix + 1e-12 * torch.eye(len(matrix), device=matrix.device)
    try:
        vectors = torch.linalg.eigh(matrix).eigenvectors
    except torch.linalg.LinAlgError:  # on a GPU, float32 of low rank may not converge
        vectors = torch.linalg.eigh(matrix.double().cpu()).eigenvectors.to(matrix)
    return vectors.flip(1)
