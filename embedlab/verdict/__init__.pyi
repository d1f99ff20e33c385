from .foresight import chance_of_ship as chance_of_ship
from .foresight import foresee as foresee
from .foresight import foresee_later as foresee_later
from .rule import compute as compute
from .rule import read_verdict as read_verdict
from .rule import update_verdict as update_verdict
from .words import retention_sentence as retention_sentence
from .words import sentence as sentence
