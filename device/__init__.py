"""The box: switches in, sound out. Imports neither torch nor librosa nor onnx."""
