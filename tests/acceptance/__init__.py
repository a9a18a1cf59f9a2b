"""Long runs on real models and data, and benchmarks: `make acceptance`, `make bench`."""
