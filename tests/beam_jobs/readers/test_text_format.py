"""Text files as people have them: delimiters, decimal commas, encodings, comments, wide tables."""

import gzip
import io
import time
import zlib

import numpy as np
import pytest

from padless.beam_jobs import Columns, TextFormat
from padless.beam_jobs.fragments import Source, UnreadableInputError
from padless.beam_jobs.readers.csv.columns import CsvColumns
from padless.beam_jobs.readers.csv.rows import tell_delimiter
from padless.beam_jobs.readers.inputs import FORMS, check_input
from padless.pipeline.dataset.framing import frame_record
from padless.pipeline.dataset.records import encode_example

ROWS = [("key", "time", "x", "y"), ("a", "1", "0.5", "1"), ("a", "2", "-1.25", "2")]
VALUES = [[0.5, 1], [-1.25, 2]]


def write(path, text, encoding="utf-8"):
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return str(path)


def read(path, text=None, form="csv", **columns):
    """Reads a file as a job does: looked at first, then read."""
    columns = Columns(**columns)
    facts = check_input(path, FORMS[form], columns, text=text or TextFormat())
    source = Source(0, path, form=form, text=facts.text)
    return list(FORMS[form].read(source, columns))


def values_of(items):
    return [part.values.tolist() for _, part in items]


@pytest.mark.parametrize("mark", [",", ";", "\t", "|", " ", "   ", " \t", ", ", "; "])
@pytest.mark.parametrize("named", [True, False])
def test_the_delimiter_is_told_from_the_header(tmp_path, mark, named):
    path = write(tmp_path / "x.csv", "".join(mark.join(row) + "\n" for row in ROWS))
    delimiter = (mark.strip(" ") or "blanks") if named and mark != " \t" else None
    assert values_of(read(path, TextFormat(delimiter=delimiter))) == [VALUES]


def test_a_name_may_hold_the_mark_of_another_table(tmp_path):
    text = "key;time;x (a,b,c,d,e);y\na;1;0.5;1\na;2;-1.25;2\n"
    assert values_of(read(write(tmp_path / "x.csv", text))) == [VALUES]


@pytest.mark.parametrize("name", ["x.tsv", "x.tab", "x.TSV.gz"])
def test_tsv_has_tabs(tmp_path, name):
    text = b"key\ttime\tx,y\na\t1\t0.5\n"
    path = write(tmp_path / name, gzip.compress(text) if name.endswith("gz") else text)
    assert values_of(read(path)) == [[[0.5]]]


def test_the_line_of_a_spreadsheet_names_the_delimiter(tmp_path):
    path = write(tmp_path / "x.csv", "sep=;\nkey;time;x\na;1;0.5\na;2;\n")
    ((_, rows),) = read(path)
    assert rows.lines.tolist() == [3, 4]


def test_quoted_cells_hold_blanks_between_blanks(tmp_path):
    path = write(tmp_path / "x.csv", 'key  time  x \n"a  b" 1   0.5  \n')
    ((key, rows),) = read(path)
    assert (key, rows.values.tolist()) == (b"a  b", [[0.5]])


def test_decimal_commas_are_read_where_they_are_named(tmp_path):
    text = "key;time;x\na;0,5;1,25\na;1,5;-,5\nb;1;1.500\nc;2024-01-01 00:00:00,5;1\n"
    path = write(tmp_path / "x.csv", text)
    items = read(path, TextFormat(decimal=","))
    assert items[0][1].rule == "column 'x' must hold a number with a decimal comma, got '1.500'."
    assert items[1][1].values.tolist() == [[1.25], [-0.5]]
    assert items[1][1].times.tolist() == [0.5, 1.5]
    assert str(items[2][1].times[0]) == "2024-01-01 00:00:00.5+00:00"


def test_decimal_commas_may_be_quoted_between_commas(tmp_path):
    path = write(tmp_path / "x.csv", 'key,time,x\na,1,"-0,5"\n')
    assert values_of(read(path, TextFormat(decimal=","))) == [[[-0.5]]]


def test_columns_of_decimal_commas_name_the_remedy(tmp_path):
    path = write(tmp_path / "x.csv", "key;time;x\na;1;1,25\na;2;-0,5\n")
    with pytest.raises(ValueError, match="decimal commas are read by --decimal ,"):
        read(path)


def test_columns_of_strings_are_named_beside_those_of_numbers(tmp_path):
    rows = "".join(f"a,{i},f,{i},note {i}\n" for i in range(3))
    path = write(tmp_path / "x.csv", "key,time,sex,x,note\n" + rows)
    message = r"the columns 'sex' and 'note' hold none.*columns with numbers: 'x'"
    with pytest.raises(ValueError, match=message):
        read(path)
    assert len(read(path, features=("x",))) == 1


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_other_encodings_are_named_with_their_remedy_and_read(tmp_path, encoding):
    path = write(tmp_path / "x.csv", "key,time,Temp °C\nä,1,0.5\n", encoding)
    with pytest.raises(ValueError, match=r"x\.csv.* must be UTF-8.* as? .*--encoding"):
        read(path)
    ((key, _),) = read(path, TextFormat(encoding=encoding))
    assert key.decode() == "ä"


@pytest.mark.parametrize("form", ["csv", "jsonl", "ts"])
@pytest.mark.parametrize("encoding", [None, "utf-16"])
def test_text_that_is_not_of_its_encoding_names_the_file(tmp_path, form, encoding):
    text = {"csv": "key,time,x\n", "jsonl": "", "ts": "@classLabel false\n@data\n"}[form]
    data = (text + "a,1,1\n").encode("utf-16") + (b"" if encoding is None else b"\x00\xd8")
    with pytest.raises(ValueError, match=f"x.{form}: must be "):
        read(write(tmp_path / f"x.{form}", data), TextFormat(encoding=encoding), form)


def test_the_header_must_be_utf8(tmp_path):
    path = write(tmp_path / "x.csv", b"key,time,Temp \xb0C\na,1,2\n")
    message = r"line 1: the name of column 3 must be UTF-8, got b'Temp \\xb0C' \(Windows-1252\?\)"
    with pytest.raises(ValueError, match=message):
        read(path)


def test_comments_are_left_out_and_lines_still_counted(tmp_path):
    text = "# device 17\nkey,time,x\n# gap\na,1,1\na,2,#\n"
    path = write(tmp_path / "x.csv", text)
    (_, fault), (_, rows) = read(path, TextFormat(comment="#"))
    assert (rows.lines.tolist(), fault.place.position) == ([4], 5)
    with pytest.raises(ValueError, match="lines of comments are left out as by --comment"):
        read(path)


def test_columns_without_a_header_have_numbers_as_names(tmp_path):
    path = write(tmp_path / "x.csv", "7 1 0.5 3 \n7 2 -1.25 4 \n")
    items = read(path, TextFormat(has_header=False), key="1", time="2")
    assert items[0][0] == b"7"
    assert values_of(items) == [[[0.5, 3], [-1.25, 4]]]
    with pytest.raises(ValueError, match="a file without a header is read by --no-header"):
        read(path, key="1", time="2")


def test_a_cell_may_be_large(tmp_path):
    path = write(tmp_path / "x.csv", "key,time,x,shape\n" + f"a,1,0.5,{'1 ' * 500_000}\n")
    assert values_of(read(path, features=("x",))) == [[[0.5]]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delimiter": ""}, "`delimiter` must be one character"),
        ({"delimiter": ",,"}, "`delimiter` must be one character"),
        ({"delimiter": '"'}, "`delimiter` must be one character"),
        ({"decimal": "x"}, "`decimal` must be '.' or ','"),
        ({"comment": ""}, "`comment` must be at least one character"),
        ({"encoding": "utf-61"}, "`encoding` must name an encoding of text"),
        ({"encoding": "base64"}, "`encoding` must name an encoding of text"),
    ],
)
def test_a_text_format_must_make_sense(options, message):
    with pytest.raises(ValueError, match=message):
        TextFormat(**options)


def test_columns_are_found_in_linear_time():
    """Twenty times the columns took 400 times as long, as each was looked for among all."""
    few, many = (locate_columns(count) for count in (2_000, 40_000))
    assert many < 100 * few + 0.1


def locate_columns(count):
    """Returns the CPU seconds that it takes: the fewest of three."""
    header, seconds = ["key", "time", *(f"x{i}" for i in range(count))], []
    for _ in range(3):
        start = time.process_time()
        located = CsvColumns.locate(Source(0, "x.csv"), header, Columns())
        seconds.append(time.process_time() - start)
        assert len(located.features) == count
    return min(seconds)


def test_the_delimiter_named_by_a_file_is_that_of_its_key():
    lines = io.StringIO("a,b,c,d;key;time\n")
    assert tell_delimiter(Source(0, "x.csv"), lines, Columns()) == ";"


@pytest.mark.parametrize("level", [0, 1, 6, 9])
def test_zlib_tfrecords_are_read(tmp_path, level):
    values = np.ones((3, 2), np.float32)
    data = b"".join(frame_record(encode_example(b"a%d" % i, values)) for i in range(100))
    path = write(tmp_path / "x.tfrecord", zlib.compress(data, level))
    assert len(read(path, form="tfrecord")) == 100


@pytest.mark.parametrize("damage", [lambda d: d[:-9], lambda d: d[:60] + bytes(9) + d[69:]])
def test_damaged_zlib_tfrecords_are_named(tmp_path, damage):
    values = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    data = b"".join(frame_record(encode_example(b"a%d" % i, values)) for i in range(100))
    path = write(tmp_path / "x.tfrecord", damage(zlib.compress(data)))
    with pytest.raises(UnreadableInputError, match=r"x\.tfrecord"):
        read(path, form="tfrecord")
