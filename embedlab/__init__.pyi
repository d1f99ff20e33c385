from .chain import start as start
from .data import load_collection as load_collection
from .errors import EmbedlabError as EmbedlabError
from .evaluation import compare as compare
from .models import load_model as load_model
from .trainset import mine_negatives as mine_negatives

__version__: str
