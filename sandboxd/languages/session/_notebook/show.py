"""What a run shows beside its output: figures, and rich forms of values, as files."""

import base64
import io
import sys

FILES_MOST = 1000
PYPLOT = "matplotlib.pyplot"


class Shown:
    """The files of the run under way, within the bytes that there are for them."""

    def __init__(self):
        self.begin(0)

    def begin(self, room):
        self.files = []
        self._room = room
        self._counts = {}

    def number(self, kind):
        self._counts[kind] = self._counts.get(kind, 0) + 1
        return self._counts[kind]

    def add(self, path, data):
        if len(self.files) == FILES_MOST:
            print(f"{path} is not shown: a run shows {FILES_MOST} files", file=sys.stderr)
            return
        fits = len(data) <= self._room
        self._room -= len(data) if fits else 0
        encoded = base64.b64encode(data).decode() if fits else None
        self.files.append({"path": path, "size": len(data), "data": encoded})

    def add_forms(self, name, value):
        for method, ending in (("_repr_html_", "html"), ("_repr_png_", "png")):
            try:
                form = getattr(type(value), method)(value)
            except Exception:  # noqa: S112 - it has none, or none now
                continue
            data = form[0] if isinstance(form, tuple) else form
            if isinstance(data, str):
                data = data.encode()
            if isinstance(data, bytes):
                self.add(f"{name}.{ending}", data)

    def display(self, *values, **_):
        """As in a notebook; the text goes to stdout, other forms are files."""
        for value in values:
            print(value if isinstance(value, str) else repr(value))
            if is_figure(value):
                self.add_figure(value)
            else:
                self.add_forms(f"display-{self.number('display')}", value)

    def show(self):
        """As matplotlib's: all open figures. They are closed, as each show is of its own."""
        pyplot = sys.modules[PYPLOT]
        for number in pyplot.get_fignums():
            self.add_figure(pyplot.figure(number))

    def waiting(self):
        """Whether there are figures that nobody has shown."""
        return PYPLOT in sys.modules and bool(sys.modules[PYPLOT].get_fignums())

    def add_figure(self, figure):
        """Closed also where it cannot be drawn."""
        try:
            image = io.BytesIO()
            figure.savefig(image, format="png")
        except Exception as error:
            error.add_note("This figure is not shown: it cannot be drawn.")
            raise
        finally:
            sys.modules[PYPLOT].close(figure)
        self.add(f"figure-{self.number('figure')}.png", image.getvalue())

    def close(self):
        """Figures that were not shown are of no later run."""
        if PYPLOT in sys.modules:
            sys.modules[PYPLOT].close("all")


def is_figure(value):
    figure = sys.modules.get("matplotlib.figure")
    return PYPLOT in sys.modules and isinstance(value, figure.Figure)


class WhenImported:
    """Calls a function with a module as soon as that has been imported."""

    def __init__(self, name, imported):
        self._name = name
        self._imported = imported

    def find_spec(self, name, path, target=None):
        if name != self._name:
            return None
        import importlib.util

        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None:
            execute = spec.loader.exec_module

            def exec_module(module):
                execute(module)
                self._imported(module)

            spec.loader.exec_module = exec_module
        return spec
