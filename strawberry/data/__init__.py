"""Text for training: where it comes from, how it becomes tokens, and the order in which they are dealt out."""

from strawberry.data.corpora import CORPORA
from strawberry.data.dataset import Dataset
from strawberry.data.document import Text
from strawberry.data.prepare import load
from strawberry.data.tokenizer import Tokenizer

__all__ = ["CORPORA", "Dataset", "Text", "Tokenizer", "load"]
