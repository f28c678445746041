"""Replay of recorded markets: what each policy would have paid, against the best that hindsight could have done."""
