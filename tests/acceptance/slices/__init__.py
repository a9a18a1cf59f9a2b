"""What compression did to slices of real data, and how often the method errs: records and docs/slices.md."""
