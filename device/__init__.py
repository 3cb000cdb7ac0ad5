"""The box: switches in, sound out. Imports neither torch nor librosa nor onnx."""

import os

# onnxruntime's wheels keep a database of what it does under ~/.cache and send it to their maker,
# unless this is said before it is imported. A box in a corner tells nobody anything.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
