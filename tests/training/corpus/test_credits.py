"""Who has to be named: music whose licences require it, and no other."""

from training.corpus.credits import credits_of


def loop(licence, artist="Artist", title="Piece"):
    return {"licence": licence, "artist": artist, "title": title}


def test_music_that_has_to_be_credited_is_named_once():
    loops = [loop("CC BY 4.0"), loop("CC BY 4.0"), loop("CC BY-NC 3.0", "Other", None)]
    assert credits_of(loops) == [
        "Artist: Piece (CC BY 4.0)",
        "Other: unknown (CC BY-NC 3.0)",
    ]


def test_other_music_is_not_named():
    assert credits_of([loop("CC0-1.0"), loop(None), loop("all rights reserved"), {}]) == []


def test_a_long_list_says_how_much_is_missing():
    credits = credits_of([loop("CC BY 4.0", title=f"{n:04}") for n in range(1000)])
    assert len(credits) == 400
    assert credits[-1] == "and 601 more pieces of the corpus"
