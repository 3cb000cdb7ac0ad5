"""The instrument: switch states in, sound out. Imports neither torch nor librosa nor onnx."""

import os

# onnxruntime's wheels record its use in a database under ~/.cache and send it to their vendor,
# unless this is set before it is imported. The instrument sends nothing.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
