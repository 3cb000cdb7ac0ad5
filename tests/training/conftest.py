"""One thread: tensors this small are slower on more, and much slower beside other work."""

import torch

torch.set_num_threads(1)
