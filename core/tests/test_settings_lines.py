"""`key_lines`: exact lines for every way of writing TOML."""

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from formal_cluster.settings_file.lines import key_lines

TEXT = '''# a comment

top = 1
[server]  # another
port = 1
"quoted key" = [
  1,
  # inside
  {a = 2},
]
text = """
[not.a.header]
key = 1
"""
log.level = "info"

[store.etcd]
data_dir = "/x"
[[counter]]
name = "a"
[counter.more]
b = 1
[[counter]]
name = "b"
'''


def test_every_key_is_found_on_the_line_it_starts_on():
    assert {
        ("top",): 3,
        ("server",): 4,
        ("server", "port"): 5,
        ("server", "quoted key"): 6,
        ("server", "quoted key", 0): 6,
        ("server", "quoted key", 1): 6,
        ("server", "quoted key", 1, "a"): 6,
        ("server", "text"): 11,
        ("server", "log"): 15,
        ("server", "log", "level"): 15,
        ("store", "etcd"): 17,
        ("store", "etcd", "data_dir"): 18,
        ("counter", 0): 19,
        ("counter", 0, "name"): 20,
        ("counter", 0, "more"): 21,
        ("counter", 0, "more", "b"): 22,
        ("counter", 1): 23,
        ("counter", 1, "name"): 24,
    } == key_lines(TEXT)


def test_windows_line_ends_count_the_same():
    assert key_lines(TEXT) == key_lines(TEXT.replace("\n", "\r\n"))


KEYS = st.from_regex(r"[a-z]{1,4}", fullmatch=True)


@given(
    st.dictionaries(KEYS, st.dictionaries(KEYS, st.integers() | st.text("a\n'\"[=", max_size=9)))
)
def test_a_key_is_always_on_its_line(tables):
    text, expected = "", {}
    for table, values in tables.items():
        expected[(table,)] = text.count("\n") + 1
        text += f"[{table}]\n"
        for key, value in values.items():
            expected[(table, key)] = text.count("\n") + 1
            shown = str(value) if isinstance(value, int) else _multiline(value)
            text += f"{key} = {shown}\n"
    assert tables == tomllib.loads(text)
    assert expected == key_lines(text)


def _multiline(text):
    escaped = text.replace('"', '\\"')
    return f'"""\n{escaped}"""'
