"""The implementations of the inversion."""

import pytest

from tests.support.inversion import IMPLEMENTATIONS, Chosen
from tests.support.kernel import compiled_or_skip


@pytest.fixture(scope="module", params=IMPLEMENTATIONS)
def every_implementation(request):
    """Both implementations stand every test of the one."""
    if request.param == "compiled":
        compiled_or_skip()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Chosen, "implementation", IMPLEMENTATIONS[request.param])
        yield
