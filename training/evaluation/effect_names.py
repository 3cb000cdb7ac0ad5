"""Names for the effects of switches, made of the figures and short enough for a label."""

from collections.abc import Mapping, Sequence

from training.evaluation.switch_effects import Effect, Switch

# Figure → names for more and for less of it. Figures with the same name count as one effect.
WORDS: Mapping[str, tuple[str, str]] = {
    "lufs": ("louder", "softer"),
    "true_peak_db": ("higher peaks", "lower peaks"),
    "crest_db": ("punchier", "flatter"),
    "dyn_range_db": ("more contrast", "more even"),
    "silence_share": ("more pauses", "fewer pauses"),
    "dc": ("more offset", "less offset"),
    "clip_share": ("more clipping", "less clipping"),
    "click_rate": ("more clicks", "fewer clicks"),
    "block_z": ("choppier", "smoother"),
    "hf_floor_db": ("more hiss", "less hiss"),
    "centroid": ("brighter", "darker"),
    "rolloff95": ("brighter", "darker"),
    "flatness_db": ("noisier", "cleaner"),
    "band_sub": ("more sub bass", "less sub bass"),
    "band_low": ("more bass", "less bass"),
    "band_mid": ("more middle", "less middle"),
    "band_hi": ("more treble", "less treble"),
    "band_air": ("more air", "less air"),
    "perc_db": ("more drums", "fewer drums"),
    "spec_sparsity": ("fuller", "thinner"),
    "phase_dev": ("rougher", "smoother tones"),
    "peak_sharp_db": ("clearer tones", "hazier tones"),
    "mod_4_12": ("livelier", "calmer"),
    "mod_12_30": ("quicker edges", "slower edges"),
    "mod_30_80": ("grainier", "less grainy"),
    "quef_hi": ("more pitched", "less pitched"),
    "melgrad_t": ("crisper", "softer edges"),
    "melgrad_f": ("more pitched", "less pitched"),
    "onset_kurt": ("lonelier beats", "more beats"),
    "onset_rate": ("busier", "sparser"),
    "grid_excess": ("tighter", "looser"),
    "pulse_clarity": ("steadier", "freer"),
    "tempo_bpm": ("feels faster", "feels slower"),
    "loop_repeat": ("more loop", "more story"),
    "polyphony": ("more notes", "fewer notes"),
    "pitch_mean": ("higher notes", "lower notes"),
    "note_certainty": ("clearer notes", "fainter notes"),
    "note_ambiguity": ("muddier", "clearer lines"),
    "note_instability": ("unsteady notes", "steadier notes"),
    "pitch_wander": ("less steady pitch", "steadier pitch"),
    "in_scale": ("more in key", "less in key"),
    "chord_fit": ("plainer chords", "less plain chords"),
    "chord_change": ("more chord changes", "fewer chord changes"),
    "roughness": ("more dissonant", "more consonant"),
}
_MOST_WORDS = 3
# A change below this many standard deviations is not named, unless it is the strongest.
_LEAST_NAMED = 0.5


def word(effect: Effect) -> str:
    """The name of a change."""
    more, less = WORDS[effect.name]
    return more if effect.change > 0 else less


def named_effects(switch: Switch) -> list[Effect]:
    """The strongest effects, one of each name."""
    by_word: dict[str, Effect] = {}
    for effect in switch.effects:
        by_word.setdefault(word(effect), effect)
    named = list(by_word.values())[:_MOST_WORDS]
    return [effect for effect in named if effect is named[0] or abs(effect.change) >= _LEAST_NAMED]


def sentence(switch: Switch) -> str:
    """Describe, such as "on: brighter (+1.4 sd), busier (+1.1 sd); the same in 9 of 10 states"."""
    named = named_effects(switch)
    effects = ", ".join(f"{word(effect)} ({effect.change:+.1f} sd)" for effect in named)
    return f"on: {effects}; {consistency(min(effect.share for effect in named))}"


def consistency(share: float) -> str:
    """Describe the share of states of the other switches with the usual sign of the change."""
    if share == 1:
        return "the same in every state"
    tenths = int(10 * share)
    return f"the same in {tenths} of 10 states"


def names_by_sound(switches: Sequence[Switch]) -> tuple[str, ...]:
    """Name every switch after its strongest effect; names differ as far as there are enough.

    The switch with the strongest effect is named first.
    """
    names: dict[int, str] = {}
    for switch in sorted(switches, key=lambda switch: -abs(switch.effects[0].change)):
        free = (word(e) for e in switch.effects if word(e) not in names.values())
        names[switch.number] = next(free, word(switch.effects[0]))
    return tuple(names[switch.number] for switch in switches)
