"""The recipe: what it may say (`recipe`), and how its file is read (`load`)."""

from modersmal.config.load import load_recipe, parse_recipe, sections
from modersmal.config.recipe import (
    AugmentConfig,
    ChecksConfig,
    Codec,
    DataConfig,
    EvaluateConfig,
    LoraConfig,
    Recipe,
    ReleaseConfig,
    Section,
    SpecAugmentConfig,
    TextConfig,
    TrainConfig,
)

__all__ = [
    "AugmentConfig",
    "ChecksConfig",
    "Codec",
    "DataConfig",
    "EvaluateConfig",
    "LoraConfig",
    "Recipe",
    "ReleaseConfig",
    "Section",
    "SpecAugmentConfig",
    "TextConfig",
    "TrainConfig",
    "load_recipe",
    "parse_recipe",
    "sections",
]
