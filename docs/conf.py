"""How Sphinx builds the site (see scripts/docs): from the pages that GitHub shows, as they are.

The source is the top of the repository, so that a link from one page to another is right in both.
"""

from sphinx.application import Sphinx

from alembic_helpers import __version__

# The parts of the site and their pages, in order. One that does not exist yet is left out.
PARTS = {
    "Start": ["start", "adopt"],
    "Write": ["write", "cookbook"],
    "Prove": ["roundtrip", "locks"],
    "Run": ["deploying", "messages", "trouble"],
    "Reference": ["reference", "verbs", "versions", "../CHANGELOG"],
    "For maintainers": ["../CONTRIBUTING", "../SECURITY", "decisions"],
}

project = "alembic-toolkit"
release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
root_doc = "README"
include_patterns = ["*.md", "docs/*.md"]
exclude_patterns = [".*", "*/.*", "build", "dist", "tests"]
html_theme = "furo"
html_title = f"alembic-toolkit {release}"
html_extra_path = ["static/index.html"]
html_static_path = ["static"]
html_css_files = ["wide.css"]
html_copy_source = False
html_show_copyright = False
myst_heading_anchors = 3
autodoc_member_order = "bysource"
default_role = "code"
# The SQL of a server's own (`DO $$ ... $$`) is more than Pygments knows as SQL.
suppress_warnings = ["misc.highlighting_failure"]


def add_parts(app: Sphinx, name: str, source: list[str]) -> None:
    """Put the table of the site's parts below the first page, where GitHub shows none."""
    if name == root_doc:
        for caption, pages in PARTS.items():
            there = [f"docs/{page}" for page in pages if (app.confdir / f"{page}.md").exists()]
            lines = [":hidden:", f":caption: {caption}", "", *there]
            source[0] += "\n".join(["\n```{toctree}", *lines, "```", ""])


def setup(app: Sphinx) -> None:
    """Be called by Sphinx."""
    app.connect("source-read", add_parts)
