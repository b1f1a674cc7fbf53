"""``python -m beltline``."""

from beltline.cli.main import run_app

if __name__ == "__main__":
    run_app(prog_name="python -m beltline")
