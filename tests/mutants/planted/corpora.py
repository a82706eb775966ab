"""Data that are what they are called: whole, of the right type, and known by their contents."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_DATA = "tests/tasks/data"

CORPORA = (
    Mutant(
        "a tokenised form is found by the name of its corpus",
        "tasks/data/sources.py",
        "    return open_source(spec).identity\n",
        "    return spec.location\n",
        f"{_DATA}/test_prepare.py::test_a_changed_corpus_is_prepared_anew",
    ),
    Mutant(
        "a corpus may change while it is read",
        "tasks/data/prepare.py",
        "            if corpus_identity(spec) != identity:\n",
        "            if False:\n",
        f"{_DATA}/test_prepare.py::test_a_corpus_that_changes_while_it_is_read_is_refused",
    ),
    Mutant(
        "all pieces are encoded at once, however long they are",
        "tasks/data/prepare.py",
        " or characters >= _CHARACTERS_AT_ONCE:",
        ":",
        f"{_DATA}/test_prepare.py::test_few_characters_are_encoded_at_once",
    ),
    Mutant(
        "a line is read whatever its length",
        "tasks/data/text_files.py",
        "stream.readline(_PIECE_CHARACTERS)",
        "stream.readline()",
        f"{_DATA}/test_sources.py::test_a_long_line_is_cut_at_a_blank",
    ),
    Mutant(
        "long words are learnt from without a limit",
        "tasks/data/vocabulary.py",
        "train_from_iterator(_with_few_long_words(texts), trainer)",
        "train_from_iterator(texts, trainer)",
        f"{_DATA}/test_vocabulary.py::test_long_words_are_learnt_from_within_memory",
    ),
    Mutant(
        "text with NUL characters is UTF-8 like any other",
        "tasks/data/text_files.py",
        'if "\\0" in text:',
        "if False:",
        f"{_DATA}/test_sources.py::test_what_is_no_text_is_called_by_its_name",
    ),
    Mutant(
        "a number in the column of text becomes its digits",
        "tasks/data/columns.py",
        "    if not isinstance(value, str):\n",
        "    value = str(value)\n    if not isinstance(value, str):\n",
        f"{_DATA}/test_columns.py::test_only_text_is_text",
    ),
    Mutant(
        "a null row is the text None",
        "tasks/data/columns.py",
        "    if value is None:\n        return None\n",
        '    if value is None:\n        return "None"\n',
        f"{_DATA}/test_columns.py::test_null_and_blanks_are_no_document",
    ),
    Mutant(
        "fractions among tokens are rounded",
        "tasks/data/columns.py",
        ' or (len(value) and array.dtype.kind not in "iu"):',
        ":",
        f"{_DATA}/test_columns.py::test_only_whole_numbers_are_tokens",
    ),
    Mutant(
        "tokens of neither segment are left out in silence",
        "tasks/data/columns.py",
        "if kinds.shape != tokens.shape or not np.isin(kinds, (0, 1)).all():",
        "if kinds.shape != tokens.shape:",
        f"{_DATA}/test_columns.py::test_columns_that_do_not_fit_are_refused",
    ),
    Mutant(
        "a file of rows is taken for prose",
        "tasks/data/spec.py",
        "        return _kind_of_file(path)\n",
        "        return SourceKind.TEXT\n",
        f"{_DATA}/test_spec.py::test_a_file_of_rows_is_no_prose",
    ),
    Mutant(
        "of a folder with text and rows the text is read",
        "tasks/data/spec.py",
        "    if tables and texts:\n",
        "    if False:\n",
        f"{_DATA}/test_spec.py::test_text_and_rows_in_one_folder_are_not_guessed",
    ),
    Mutant(
        "files whose names have blanks are left out of a folder",
        "tasks/data/tables.py",
        "sorted(name for name in names if format_of(name))",
        'sorted(name for name in names if format_of(name) and " " not in name)',
        f"{_DATA}/test_sources.py::test_every_file_of_a_folder_of_rows_is_read",
    ),
    Mutant(
        "a folder that cannot be read is left out of a corpus",
        "tasks/data/files.py",
        "os.walk(folder, onerror=_refuse)",
        "os.walk(folder)",
        f"{_DATA}/test_files.py::test_an_unreadable_folder_is_told_not_left_out",
    ),
    Mutant(
        "a linked folder is left out of a corpus",
        "tasks/data/files.py",
        "if (Path(place) / name).is_symlink():",
        "if False:",
        f"{_DATA}/test_files.py::test_a_link_to_a_folder_is_told_not_left_out",
    ),
    Mutant(
        "a pipe is opened as a corpus",
        "tasks/data/files.py",
        "    if not stat.S_ISREG(mode):\n",
        "    if stat.S_ISDIR(mode):\n",
        f"{_DATA}/test_files.py::test_a_pipe_is_not_opened",
    ),
    Mutant(
        "the order of a corpus's files does not count",
        "tasks/data/files.py",
        "    for file in files:\n        one = blake3()\n",
        "    for file in sorted(files, key=lambda file: file.read_bytes()):\n        one = blake3()\n",
        f"{_DATA}/test_files.py::test_the_digest_is_of_contents_and_of_their_order",
    ),
    Mutant(
        "fields of CSV beyond the names are dropped",
        "tasks/data/tables.py",
        "        if len(row) > len(names):\n",
        "        if False:\n",
        f"{_DATA}/test_tables.py::test_a_damaged_file_is_named_in_one_sentence",
    ),
    Mutant(
        "an element of an array may be as long as its file",
        "tasks/data/tables.py",
        "        if characters > _MOST_ROW:\n",
        "        if False:\n",
        f"{_DATA}/test_tables.py::test_a_row_is_never_too_long_for_memory",
    ),
    Mutant(
        "a text that parquet has once is unpacked for each row",
        "tasks/data/tables.py",
        "parquet.ParquetFile(file, read_dictionary=texts)",
        "parquet.ParquetFile(file)",
        f"{_DATA}/test_tables.py::test_a_repeated_text_of_parquet_is_in_memory_once",
    ),
    Mutant(
        "what killed processes have left in the cache stays",
        "tasks/data/building.py",
        "        _remove_if_left(left)\n",
        "        pass\n",
        f"{_DATA}/test_building.py::test_only_what_a_killed_process_left_is_removed",
    ),
    Mutant(
        "what another process writes is removed",
        "tasks/data/building.py",
        "fcntl.flock(lock, fcntl.LOCK_EX)",
        "fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_UN)",
        f"{_DATA}/test_building.py::test_only_what_a_killed_process_left_is_removed",
    ),
)
