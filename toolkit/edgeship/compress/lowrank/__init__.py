"""Low-rank factorisation of dense layers and convolutions."""
