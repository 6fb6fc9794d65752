"""The recipe: what it may say (`recipe`), and how its file is read (`load`)."""

from modersmal.config.improving import ImproveConfig
from modersmal.config.launching import KaggleConfig, LaunchConfig, OfficeConfig, SpaceConfig
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
    SpecAugmentConfig,
    TextConfig,
    TrainConfig,
)
from modersmal.config.section import Section
from modersmal.config.serving import CorrectionsConfig, LimitsConfig, ServeConfig

__all__ = [
    "AugmentConfig",
    "ChecksConfig",
    "Codec",
    "CorrectionsConfig",
    "DataConfig",
    "EvaluateConfig",
    "ImproveConfig",
    "KaggleConfig",
    "LaunchConfig",
    "LimitsConfig",
    "LoraConfig",
    "OfficeConfig",
    "Recipe",
    "ReleaseConfig",
    "Section",
    "ServeConfig",
    "SpaceConfig",
    "SpecAugmentConfig",
    "TextConfig",
    "TrainConfig",
    "load_recipe",
    "parse_recipe",
    "sections",
]
