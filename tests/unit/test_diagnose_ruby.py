"""Ruby's backtraces and syntax errors, of 3.1 to 3.4."""

from __future__ import annotations

import pytest

from sandboxd_client.protocol import Category, Location
from tests.unit.test_diagnose import failed, marked


def test_a_backtrace_is_turned_round() -> None:
    told = failed(
        "ruby",
        "def f(x)\n  1 / x\nend\nf(0)\n",
        "/sandbox/main.rb:2:in `/': divided by 0 (ZeroDivisionError)\n"
        "\tfrom /sandbox/main.rb:2:in `f'\n\tfrom /sandbox/main.rb:4:in `<main>'\n",
    )
    assert (told.category, told.error_type) == (Category.EXCEPTION, "ZeroDivisionError")
    assert (told.message, told.location) == ("divided by 0", Location("main.rb", 2))
    assert [(each.line, each.function) for each in told.frames] == [
        (4, "<main>"),
        (2, "f"),
        (2, "/"),
    ]
    assert marked(told) == "1 / x"


def test_newer_quotes_and_class_names_are_read_too() -> None:
    told = failed(
        "ruby",
        "module A\n  class B\n    C.new.d\n  end\nend\n",
        "/sandbox/main.rb:3:in '<class:B>': undefined method 'd' for an instance of C "
        "(NoMethodError)\n\n    C.new.d\n         ^^\n"
        "\tfrom /sandbox/main.rb:2:in '<module:A>'\n\tfrom /sandbox/main.rb:1:in '<main>'\n",
    )
    assert told.location == Location("main.rb", 3, 10)
    assert [each.function for each in told.frames] == ["<main>", "<module:A>", "<class:B>"]
    assert "an instance of C has no method `d`" in told.explanation


def test_the_carets_give_the_column_and_ruby_guesses_what_was_meant() -> None:
    told = failed(
        "ruby",
        "total = 1\n\nputs totl\n",
        "/sandbox/main.rb:3:in `<main>': undefined local variable or method `totl' for "
        "main:Object (NameError)\n\nputs totl\n     ^^^^\nDid you mean?  total\n",
    )
    assert told.location == Location("main.rb", 3, 6)
    assert told.suggestions[0] == "Did you mean `total`?"
    assert told.message.endswith("for main:Object")


def test_a_message_of_several_lines_is_kept() -> None:
    told = failed(
        "ruby",
        "def g\n  raise MyError\nend\ng\n",
        "/sandbox/main.rb:2:in `g': one (MyError)\ntwo\n\tfrom /sandbox/main.rb:4:in `<main>'\n",
    )
    assert (told.error_type, told.message) == ("MyError", "one\ntwo")


def test_an_exception_is_not_its_cause() -> None:
    told = failed(
        "ruby",
        "begin\n  1/0\nrescue => e\n  raise ArgumentError, 'outer'\nend\n",
        "/sandbox/main.rb:4:in `rescue in <main>': outer (ArgumentError)\n"
        "\tfrom /sandbox/main.rb:1:in `<main>'\n"
        "/sandbox/main.rb:2:in `/': divided by 0 (ZeroDivisionError)\n"
        "\tfrom /sandbox/main.rb:2:in `<main>'\n",
    )
    assert (told.error_type, told.message) == ("ArgumentError", "outer")
    assert told.location == Location("main.rb", 4)


def test_an_exception_that_ended_a_thread_is_not_what_ended_the_program() -> None:
    told = failed(
        "ruby",
        "x\ny\n",
        "#<Thread:0x00007f947e9cacb0 /sandbox/main.rb:1 run> terminated with exception "
        "(report_on_exception is true):\n"
        "/sandbox/main.rb:1:in `block in <main>': in thread (RuntimeError)\n"
        "/sandbox/main.rb:2:in `<main>': after it (ArgumentError)\n",
    )
    assert (told.error_type, told.message) == ("ArgumentError", "after it")


def test_files_of_ruby_itself_are_levels_without_source() -> None:
    told = failed(
        "ruby",
        "require 'nokogiri'\n",
        "<internal:/usr/lib/ruby/vendor_ruby/rubygems/core_ext/kernel_require.rb>:85:in "
        "`require': cannot load such file -- nokogiri (LoadError)\n"
        "\tfrom /sandbox/main.rb:1:in `<main>'\n",
    )
    assert (told.category, told.error_type) == (Category.IMPORT_ERROR, "LoadError")
    assert told.location == Location("main.rb", 1)
    assert [(bool(each.source), each.line) for each in told.frames] == [(True, 1), (False, 85)]
    assert "no module `nokogiri`" in told.explanation


def test_a_file_of_the_program_that_is_not_there_is_named_as_one() -> None:
    told = failed(
        "ruby",
        "require_relative 'util'\n",
        "/sandbox/main.rb:1:in `require_relative': cannot load such file -- /sandbox/util "
        "(LoadError)\n\tfrom /sandbox/main.rb:1:in `<main>'\n",
    )
    assert told.category is Category.IMPORT_ERROR
    assert "Send `./util.rb` along" in told.suggestions[0]


@pytest.mark.parametrize(
    ("code", "stderr", "location"),
    [
        (
            "def f\n  puts 'x'\n",
            (
                "/sandboxd/ruby.rb: /sandbox/main.rb:2: syntax error, unexpected end-of-input, "
                "expecting `end' (SyntaxError)\n  puts 'x'\n          ^\n"
            ),
            Location("main.rb", 2, 11),
        ),
        (
            "if true\nend\nend\n",
            (
                "/sandbox/main.rb: --> /sandbox/main.rb\nUnmatched `end', missing keyword ?\n"
                "> 3  end\n/sandbox/main.rb:3: syntax error, unexpected `end', expecting "
                "end-of-input (SyntaxError)\n"
            ),
            Location("main.rb", 3),
        ),
        (
            "x = 'abc\nputs x\n",
            "/sandbox/main.rb:2: unterminated string meets end of file (SyntaxError)\n",
            Location("main.rb", 2),
        ),
    ],
)
def test_a_syntax_error_has_a_place_and_no_levels(
    code: str, stderr: str, location: Location
) -> None:
    told = failed("ruby", code, stderr)
    assert (told.category, told.error_type) == (Category.SYNTAX_ERROR, "SyntaxError")
    assert (told.location, told.frames) == (location, [])
    assert "(SyntaxError)" not in told.message


def test_an_error_without_a_place_is_read_too() -> None:
    told = failed(
        "ruby", "'a' * n\n", "/sandboxd/ruby.rb: failed to allocate memory (NoMemoryError)\n"
    )
    assert (told.category, told.error_type) == (Category.OUT_OF_MEMORY, "NoMemoryError")


def test_an_exception_without_a_message_has_none() -> None:
    told = failed("ruby", "raise ''\n", "/sandbox/main.rb:1:in `<main>': unhandled exception\n")
    assert (told.error_type, told.message) == ("RuntimeError", "")


def test_a_crash_of_the_interpreter_is_a_signal_with_a_place() -> None:
    told = failed(
        "ruby",
        "crash\n",
        "/sandbox/main.rb:1: [BUG] Segmentation fault at 0x0\nruby 3.1.2p20\n",
        exit_code=134,
        signal=6,
    )
    assert (told.category, told.location) == (Category.SIGNAL, Location("main.rb", 1))
    assert told.message.startswith("Segmentation fault")


@pytest.mark.parametrize(
    ("error", "says", "suggests"),
    [
        ("uninitialized constant JSON (NameError)", "library `json`", 'require "json"'),
        ("uninitialized constant Foo (NameError)", "no class or module `Foo`", "Define `Foo`"),
        ("undefined method `upcase' for nil:NilClass (NoMethodError)", "on nil", "`&.`"),
        ('undefined method `upcas\' for "a":String (NoMethodError)', "`upcas`", "`upcase`?"),
        ("private method `x' called for #<A> (NoMethodError)", "private", "public"),
        (
            "wrong number of arguments (given 0, expected 1) (ArgumentError)",
            "given 0, expected 1",
            "definition",
        ),
        ('invalid value for Integer(): "abc" (ArgumentError)', '"abc"', "to_i"),
        ("key not found: :b (KeyError)", "no key :b", "symbol and a string"),
        ("index 5 outside of array bounds: -1...1 (IndexError)", "outside", "length"),
        ("no implicit conversion of Integer into String (TypeError)", "Integer", "to_s"),
        ("nil can't be coerced into Integer (TypeError)", "nil", "why it is nil"),
        ('can\'t modify frozen String: "a" (FrozenError)', "frozen", "dup"),
        ("stack level too deep (SystemStackError)", "calls itself", "recursion"),
        (
            "No such file or directory @ rb_sysopen - a.txt (Errno::ENOENT)",
            "`a.txt`",
            "`files`",
        ),
        ("859: unexpected token at '{bad' (JSON::ParserError)", "not JSON", "before parsing"),
        ("5 (NoMatchingPatternError)", "`in` branch", "else"),
        ("uncaught throw :foo (UncaughtThrowError)", "catch(:foo)", "catch"),
        ("execution expired (Timeout::Error)", "longer", "more time"),
        ("boom (RuntimeError)", "raised RuntimeError", "line 1"),
    ],
)
def test_an_exception_is_explained(error: str, says: str, suggests: str) -> None:
    told = failed("ruby", "use(it)\n", f"/sandbox/main.rb:1:in `<main>': {error}\n")
    assert told.category is Category.EXCEPTION
    assert says in told.explanation
    assert any(suggests in each for each in told.suggestions), told.suggestions


def test_nil_of_an_empty_stdin_is_told_from_other_nils() -> None:
    told = failed(
        "ruby",
        "x = gets.chomp\n",
        "/sandbox/main.rb:1:in `<main>': undefined method `chomp' for nil:NilClass "
        "(NoMethodError)\n\nx = gets.chomp\n        ^^^^^^\n",
    )
    assert told.location == Location("main.rb", 1, 9)
    assert "stdin" in told.explanation


def test_a_command_that_is_not_there_is_told_from_a_file() -> None:
    told = failed(
        "ruby",
        "exec('git', 'status')\n",
        "/sandbox/main.rb:1:in `exec': No such file or directory - git (Errno::ENOENT)\n"
        "\tfrom /sandbox/main.rb:1:in `<main>'\n",
    )
    assert "no command `git`" in told.explanation
