"""What holds of `edgeship search`, measured: speed-up of two workers, random search at equal budget, ResNet-8."""
