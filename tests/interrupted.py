"""Trainings that are interrupted on the way."""


class KilledAfter:
    """A validation that is interrupted once it has been asked so many times."""

    def __init__(self, times, validation):
        self.left, self.validation, self.digest = times, validation, validation.digest

    def scores(self, encode):
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        return self.validation.scores(encode)
