"""Contents of files of a corpus or a run, as bytes."""

import io

import numpy as np
import torch


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def pt(content):
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()
