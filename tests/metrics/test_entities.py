"""Entity scores equal to seqeval's strict IOB2 mode, and to counting by hand."""

import numpy as np
import pytest

from jaxuq.metrics import entity_scores, entity_scores_by_type, entity_spans

# Every sequence of three tags over two types and what seqeval 1.2.2 finds in it: o is O, B and I are of type X, b and i
# of type Y; after the colon start, end and type. Made by `seqeval.scheme.Entities([tags], IOB2)`.
SEQEVAL = """
ooo: ooB:23X ooI: oob:23Y ooi: oBo:12X oBB:12X,23X oBI:13X oBb:12X,23Y oBi:12X oIo: oIB:23X oII: oIb:23Y oIi:
obo:12Y obB:12Y,23X obI:12Y obb:12Y,23Y obi:13Y oio: oiB:23X oiI: oib:23Y oii: Boo:01X BoB:01X,23X BoI:01X
Bob:01X,23Y Boi:01X BBo:01X,12X BBB:01X,12X,23X BBI:01X,13X BBb:01X,12X,23Y BBi:01X,12X BIo:02X BIB:02X,23X
BII:03X BIb:02X,23Y BIi:02X Bbo:01X,12Y BbB:01X,12Y,23X BbI:01X,12Y Bbb:01X,12Y,23Y Bbi:01X,13Y Bio:01X
BiB:01X,23X BiI:01X Bib:01X,23Y Bii:01X Ioo: IoB:23X IoI: Iob:23Y Ioi: IBo:12X IBB:12X,23X IBI:13X IBb:12X,23Y
IBi:12X IIo: IIB:23X III: IIb:23Y IIi: Ibo:12Y IbB:12Y,23X IbI:12Y Ibb:12Y,23Y Ibi:13Y Iio: IiB:23X IiI:
Iib:23Y Iii: boo:01Y boB:01Y,23X boI:01Y bob:01Y,23Y boi:01Y bBo:01Y,12X bBB:01Y,12X,23X bBI:01Y,13X
bBb:01Y,12X,23Y bBi:01Y,12X bIo:01Y bIB:01Y,23X bII:01Y bIb:01Y,23Y bIi:01Y bbo:01Y,12Y bbB:01Y,12Y,23X
bbI:01Y,12Y bbb:01Y,12Y,23Y bbi:01Y,13Y bio:02Y biB:02Y,23X biI:02Y bib:02Y,23Y bii:03Y ioo: ioB:23X ioI:
iob:23Y ioi: iBo:12X iBB:12X,23X iBI:13X iBb:12X,23Y iBi:12X iIo: iIB:23X iII: iIb:23Y iIi: ibo:12Y
ibB:12Y,23X ibI:12Y ibb:12Y,23Y ibi:13Y iio: iiB:23X iiI: iib:23Y iii:
"""
TAGS = {"o": "O", "B": "B-X", "I": "I-X", "b": "B-Y", "i": "I-Y"}


def test_every_transition_as_seqeval_has_it():
    rows = [row.split(":") for row in SEQEVAL.split()]
    assert len(rows) == 125
    for tags, spans in rows:
        expected = [(int(s[0]), int(s[1]), s[2]) for s in spans.split(",") if s]
        assert entity_spans([TAGS[c] for c in tags]) == expected, tags


def test_counts_are_added_before_dividing():
    gold = [["B-X", "I-X", "O"], ["B-Y", "B-Y", "I-X"], ["O"]]
    ours = [["B-X", "O", "O"], ["B-Y", "O", "I-X"], ["O"]]
    scores = entity_scores(ours, gold)
    assert (scores.correct, scores.predicted, scores.gold) == (1, 2, 3)
    np.testing.assert_allclose(scores[:3], [1 / 2, 1 / 3, 0.4])
    by_type = entity_scores_by_type(ours, gold)
    assert by_type["X"].f1 == 0 and by_type["Y"].precision == 1 and by_type["Y"].recall == 0.5


def test_nothing_to_divide_is_zero():
    assert entity_scores([["O"]], [["O"]])[:3] == (0.0, 0.0, 0.0)
    assert entity_scores([], []).gold == 0


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="tag 1 is 'S-X'"):
        entity_spans(["O", "S-X"])
    with pytest.raises(ValueError, match="sequence 1 has 2 predicted and 1 gold"):
        entity_scores([["O"], ["O", "O"]], [["O"], ["O"]])
    with pytest.raises(ValueError, match="1 sequences are predicted and 0 gold"):
        entity_scores([["O"]], [])
