"""What every client is held to, in any language: files of JSON that are made once and kept.

- `cohorts.json`: draws of devices in rollouts.
- `repositories.json`: what a device meets, honest and hostile, and what it runs afterwards.
- `stored.json`: stored files of releases, in zstd and brotli, and what they decode to.
- `patches.json`: patches with the files before and after, and patches that are refused.
"""
