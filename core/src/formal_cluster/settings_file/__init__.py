"""Read the settings: one TOML file, overridden by environment variables, checked as a whole.

    load.py            the functions that others call; the only ones that read a file
    env.py             which variables are settings, and what they set
    check.py           validate a table and say each problem in a sentence
    contradictions.py  what is well-formed and yet cannot be meant
    keys.py            which keys a settings class has, and which one was meant
    paths.py           relative paths start at the file
    sources.py         where each setting came from
    lines.py           on which line of the file a key stands

Everything but `load.py` is pure. Drivers' tables are kept as they were read; `plugins` validates
them with `check.validated` once the drivers are loaded.
"""

from formal_cluster.settings_file.load import load_settings, settings_from, sources_of

__all__ = ["load_settings", "settings_from", "sources_of"]
