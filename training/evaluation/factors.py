"""The factors that switches stand for, where a model learnt them from versions of compositions."""

from collections.abc import Mapping

from device.model.contract import ModelCard

# Factors that are parts of the music; the others are how it is played.
LAYERS = frozenset(("drums", "bass", "chords", "melody", "pad"))


def factors_of(card: ModelCard) -> tuple[str, ...]:
    """The factor of each switch, as the settings of the training in its provenance say.

    Empty for switches of any other kind.
    """
    training = _training(card)
    if training.get("switches") != "versions":
        return ()
    names = tuple(str(training.get("labels")).split(","))
    return names if len(names) == card.n_switches else card.switch_labels


def discovers_switches(card: ModelCard) -> bool:
    """Whether the switches were found in the sound: a label could stand for the harmony."""
    return _training(card).get("switches") in ("discovered", "components")


def _training(card: ModelCard) -> Mapping[str, object]:
    training = card.provenance.get("training")
    return training if isinstance(training, Mapping) else {}
