"""Run at interpreter start by pillow_lic.pth or pillow_lic.start, so that any program opens and saves .lic images.

Does nothing until PIL.Image, imageio's extension table or mimetypes is imported for the first time; right after that it
imports pillow_lic, which registers with them. PILLOW_LIC_AUTOLOAD=0 switches it off. Kept tiny and on its own:
where .pyc files may not be written it is compiled at every start. os is always loaded before it.
"""

import os
import sys

TARGETS = ("PIL.Image", "imageio.config.extensions", "mimetypes")


class Hook:
    busy = False

    def find_spec(self, name, path=None, target=None):
        # Runs under Python's global import lock: importing anything here could deadlock with another thread.
        if name not in TARGETS or self.busy:
            return None
        self.busy = True
        try:
            for finder in sys.meta_path:
                spec = finder.find_spec(name, path, target)
                if spec is not None:
                    spec.loader = Loader(spec.loader, self)
                    return spec
        except Exception:  # then somebody else may find it
            pass
        finally:
            self.busy = False


class Loader:
    def __init__(self, loader, hook):
        self.loader = loader
        self.hook = hook

    def __getattr__(self, name):
        if name == "loader":  # of an instance that __init__ has not seen
            raise AttributeError(name)
        return getattr(self.loader, name)

    def __reduce__(self):
        import copy

        return copy.copy, (self.loader,)  # a copy, pickled or not, is of the real loader

    def exec_module(self, module):
        module.__spec__.loader = module.__loader__ = self.loader
        self.loader.exec_module(module)
        register(self.hook)


class Beside:
    """Finds the package that lies beside this file, not one of its name in the folder where a program runs."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != "pillow_lic":
            return None
        finder = sys.modules["_frozen_importlib_external"].PathFinder  # always there, and needs no import
        spec = finder.find_spec(name, [os.path.dirname(__file__)])
        return spec if spec and spec.loader else None  # of an editable installation: it lies elsewhere


def register(hook=None):
    """Import pillow_lic and register, once."""
    try:
        if hook in sys.meta_path:
            sys.meta_path.remove(hook)

        sys.meta_path.insert(0, Beside)
        try:
            from pillow_lic import plugins
        finally:
            sys.meta_path.remove(Beside)
        plugins.register_everywhere()
    except Exception:  # a broken installation of ours must not break somebody else's import
        pass


def install():
    """What the start-up files call."""
    if os.environ.get("PILLOW_LIC_AUTOLOAD") == "0" or any(isinstance(finder, Hook) for finder in sys.meta_path):
        return  # in a virtual environment .pth files run twice
    if any(name in sys.modules for name in TARGETS):
        register()
    else:
        sys.meta_path.insert(0, Hook())
