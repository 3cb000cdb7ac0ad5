"""What a run writes is whole, whatever a killed one has left."""

from training.run import save_json


def test_a_run_overwrites_what_a_killed_one_left(tmp_path):
    (tmp_path / "config.json.part").write_bytes(b"half")
    save_json(tmp_path / "config.json", {"seed": 1})
    assert [p.name for p in tmp_path.iterdir()] == ["config.json"]
