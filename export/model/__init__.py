"""A finished run as one model file: graph, quantization, parity, benchmark."""
