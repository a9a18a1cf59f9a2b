"""An arm64 Linux on this machine: programs of a Raspberry Pi run here, instruction by instruction, in QEMU.

What they compute is what an ARM processor computes. How long they take says nothing.

- `qemu`: the emulator, and the command that runs a program in it.
- `root`: the arm64 system's files, from Debian's packages, and LiteRT for it; made when first asked for.
- `counting`: how many instructions an inference takes, by a plugin of the emulator.
- `boards`: what LiteRT and our agent read of a board under /sys and /proc.
- `inside`: a whole system instead of one program: chroot, with its own mounts, where programs may start others.
"""
