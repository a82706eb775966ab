"""Configuration of the programs: one validated class each, fed by flags, environment and a YAML file.

`options` says what a setting is, `sources` reads the three places, `messages` turns a bad value into one sentence,
`manual` writes the tables and `--help`, `settings` puts them together, `tau` and `rule` are settings that several
programs share.
"""

from btard.configuration.manual import Row, describe
from btard.configuration.options import Option, Port, Probability
from btard.configuration.rule import RuleSettings
from btard.configuration.settings import SETTINGS_GROUP, Settings, installed_settings, load_settings, to_yaml
from btard.configuration.tau import TauSettings

__all__ = [
    "SETTINGS_GROUP",
    "Option",
    "Port",
    "Probability",
    "Row",
    "RuleSettings",
    "Settings",
    "TauSettings",
    "describe",
    "installed_settings",
    "load_settings",
    "to_yaml",
]
