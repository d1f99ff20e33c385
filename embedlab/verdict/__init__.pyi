from .rule import compute as compute
from .rule import read_verdict as read_verdict
from .rule import update_verdict as update_verdict
from .words import opening_words as opening_words
from .words import retention_sentence as retention_sentence
from .words import sentence as sentence
