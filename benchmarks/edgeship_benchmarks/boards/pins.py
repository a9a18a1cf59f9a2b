"""Which wheels make the runtime of a board: the one place that pins them.

LiteRT's interpreter imports NumPy and nothing else of what its wheel asks for. Versions are those of
requirements/base.txt, and so are the hashes where it has them: not of NumPy for Python 3.10, which it does not lock,
nor of tflite-runtime, the old name of LiteRT, whose wheel is all that 32-bit ARM has. That one needs NumPy 1, for which
there is no wheel: the board's own package is used.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pin:
    """One wheel: for which Python and machine (as `uname -m` says), and what it must hash to."""

    python: str
    machine: str
    requirement: str
    sha256: str


PINS = (
    Pin("3.10", "aarch64", "ai-edge-litert==2.3.0", "a72fc35d66c1d8b17f52b195bfb39b89aa839d39ea6e0d57fb88d77ac5aeb8c9"),
    Pin("3.10", "aarch64", "numpy==2.2.6", "efd28d4e9cd7d7a8d39074a4d44c63eda73401580c5c76acda2ce969e0a38e83"),
    Pin("3.11", "aarch64", "ai-edge-litert==2.3.0", "853fc608f96da87bd5f3458465dfb9abbf18d5ae6b94eceacead407146f175ae"),
    Pin("3.11", "aarch64", "numpy==2.4.6", "0ab0a9c4ffb1a6d95ef519fe4247dba8eb6b18ad93999f76b7f657039acabd47"),
    Pin("3.12", "aarch64", "ai-edge-litert==2.3.0", "9891611b23a87cc2ace60e4b5ee9a2ee6f0fb7f395f009470961ae6e6310e1b8"),
    Pin("3.12", "aarch64", "numpy==2.5.5", "a0750f2156d53446caca85663d0b65d67214e1664b9050454a731ea1418d176a"),
    Pin("3.13", "aarch64", "ai-edge-litert==2.3.0", "2ab71e4f5dfa65b3882634b42755f455f3e7415630d720200bd792733e15e257"),
    Pin("3.13", "aarch64", "numpy==2.5.5", "ae2b8285d0b4eed24739c3ca9ec0fa424a0247489c01e1d5fe2815a599e11d33"),
    Pin("3.14", "aarch64", "ai-edge-litert==2.3.0", "899b41423b30f3cef1ce8a361443092fdeefc4d536132511634fa21548347b0a"),
    Pin("3.14", "aarch64", "numpy==2.5.5", "cc6eb7502facce90349b4097a26821af224aaa0ab36e78304711cdb544352882"),
    Pin("3.11", "armv7l", "tflite-runtime==2.14.0", "c4e66a74165b18089c86788400af19fa551768ac782d231a9beae2f6434f7949"),
    Pin("3.10", "x86_64", "ai-edge-litert==2.3.0", "e104683ee0dead1243002a218637cc435c36fdb01103799335027252314e727b"),
    Pin("3.10", "x86_64", "numpy==2.2.6", "fc7b73d02efb0e18c000e9ad8b83480dfcd5dfd11065997ed4c6747470ae8915"),
    Pin("3.11", "x86_64", "ai-edge-litert==2.3.0", "1f15078a6725d2357d9de9221664c29afa0545d807559c5f7199ce5e40b96b23"),
    Pin("3.11", "x86_64", "numpy==2.4.6", "89cd468399cfd2504718f0ba50e410dca55a170b61a02ad92bb18c8a65186e93"),
    Pin("3.12", "x86_64", "ai-edge-litert==2.3.0", "dc9f56c23e0dcf182b6c35f23fbb102ed048296588882b806d5eff7654c04c88"),
    Pin("3.12", "x86_64", "numpy==2.5.5", "704d819265e5d1064d932968e9ee85fff2103ccc78c05b878c06943ba27b8507"),
    Pin("3.13", "x86_64", "ai-edge-litert==2.3.0", "985ac3823fe1d5d6a04cf5f613cc2adf98a9c8a456af0b5efa8d9ac6b118ea14"),
    Pin("3.13", "x86_64", "numpy==2.5.5", "824025655df929268bfe6b47ed91a00d14209a6f760847cf150be446829e1ce4"),
    Pin("3.14", "x86_64", "ai-edge-litert==2.3.0", "695f5164b66ebdb0a3bbb4edc4d7024e87c65a0e417d48d0a2db2503bc01b78d"),
    Pin("3.14", "x86_64", "numpy==2.5.5", "c48960d420e90cf305cb1fde0d4e6082cc90512cda87a9acf0b6e04e91cf4abe"),
)
