from __future__ import annotations

import pytest

from components.core.data.checkpoint import commit_checkpoint, open_checkpoint
from components.core.stage.errors import DataError


def test_checkpoints_are_sealed_and_verified(tmp_path):
    folder = tmp_path / "c"
    (folder / "sub").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "sub" / "a.json").write_text("{}")
    with pytest.raises(DataError, match="never finished"):
        open_checkpoint(folder)
    sealed = commit_checkpoint(folder, extra={"step": 3})
    assert open_checkpoint(folder) == sealed
    (folder / "model.safetensors").write_bytes(b"Weights")
    with pytest.raises(DataError, match="checksum"):
        open_checkpoint(folder)
