"""The commands of the device, one module each; may import every other package of `device`."""
