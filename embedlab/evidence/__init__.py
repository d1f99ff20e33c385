"""What a run proves: the verdict, the practical checklist, the common mistakes."""

from __future__ import annotations

from embedlab.evidence.verdict import compute as compute
from embedlab.evidence.verdict import read_verdict as read_verdict
from embedlab.evidence.verdict import update_verdict as update_verdict
from embedlab.evidence.words import retention_sentence as retention_sentence
from embedlab.evidence.words import sentence as sentence

__all__ = ["compute", "read_verdict", "retention_sentence", "sentence", "update_verdict"]
