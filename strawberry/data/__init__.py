"""What is trained on: text, tasks with known answers, sources of known entropy; and how they are dealt out."""

from strawberry.data.corpora import CORPORA
from strawberry.data.dataset import Dataset
from strawberry.data.document import Text
from strawberry.data.named import is_made
from strawberry.data.prepare import load
from strawberry.data.text import TextDataset
from strawberry.data.tokenizer import Tokenizer
from strawberry.scoring import IGNORED

__all__ = ["CORPORA", "IGNORED", "Dataset", "Text", "TextDataset", "Tokenizer", "is_made", "load"]
