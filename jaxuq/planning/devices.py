"""What public data sheets say about accelerators: memory and the rates that no program can beat."""

from typing import NamedTuple


class Device(NamedTuple):
    """An accelerator.

    Attributes:
        title: of its maker.
        memory: bytes.
        flops: dense matrix products in bfloat16, operations a second.
        bandwidth: of its memory, bytes a second.
        network: to its neighbours, bytes a second in one direction; within a node or a pod.
    """

    title: str
    memory: int
    flops: float
    bandwidth: float
    network: float


DEVICES: dict[str, Device] = {
    "h200": Device("NVIDIA H200 SXM", 141 * 10**9, 989e12, 4.8e12, 450e9),
    "h100": Device("NVIDIA H100 SXM", 80 * 10**9, 989e12, 3.35e12, 450e9),
    "a100": Device("NVIDIA A100 SXM 80 GB", 80 * 10**9, 312e12, 2.039e12, 300e9),
    "v5p": Device("Google TPU v5p", 95 * 10**9, 459e12, 2.765e12, 600e9),
    "v6e": Device("Google TPU v6e", 32 * 10**9, 918e12, 1.64e12, 400e9),
}
"""Peaks of data sheets; programs reach a third to two thirds of them. Beyond a node GPUs have 50e9 or so, not 450e9."""
