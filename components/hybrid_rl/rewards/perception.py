"""Visual evidence: an answer must change with the picture, and probes about absent objects must be refused."""

from __future__ import annotations


def perception(correct: bool, agrees_with_blank: bool) -> float:
    """Evidence that a response looked at the picture.

    1 when it is right and the same question on a blanked image is answered otherwise; -1 when it is wrong and says just
    what is said without a picture: the language prior won over the image (a hallucinated object is the common case);
    0 otherwise, since a right answer that the prior also gives, or a wrong one that differs, shows nothing.
    """
    if correct:
        return 0.0 if agrees_with_blank else 1.0
    return -1.0 if agrees_with_blank else 0.0
