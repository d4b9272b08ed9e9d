"""Sphinx configuration; the build reads nothing from the network."""

import sys
from pathlib import Path

import skada_active

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "skada-active"
author = "The skada_active developers"
copyright = "2026, the skada_active developers"
version = release = skada_active.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "mathml",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "_templates", "_extensions", "api/examples"]
templates_path = ["_templates"]
default_role = "py:obj"
html_math_renderer = "mathml"  # which browsers show as it is; MathJax would be fetched from the network

# The reference lists what each module exports: a name in __all__ is in the documentation.
autosummary_generate = True
autosummary_ignore_module_all = False
autosummary_imported_members = True
# On file systems that do not tell cases apart, the page of LADA would overwrite that of lada.
autosummary_filename_map = {
    f"skada_active.recipes.{name}": f"skada_active.recipes.{name}_function" for name in ("lada", "baseline")
}
autodoc_typehints = "none"  # numpydoc's sections say more
autosummary_context = {
    # Members that come from these classes are documented where the classes are.
    "foreign_classes": (
        "BaseEstimator, ClassifierMixin, TransformerMixin, MetaEstimatorMixin, ClassNamePrefixFeaturesOutMixin, "
        "_BaseComposition, BaseShuffleSplit, NeuralNet, Module, Sequential, Dataset, object"
    ),
    "foreign_methods": [
        "get_metadata_routing",
        "set_decision_function_request",
        "set_fit_request",
        "set_partial_fit_request",
        "set_score_request",
        "set_split_request",
        "set_output",
        "set_predict_request",
        "set_predict_proba_request",
        "set_transform_request",
    ],
    # Members of a strategy that whoever uses it does not need: a section of their own.
    "author_members": [
        "needs",
        "fills",
        "on_device",
        "has_utilities",
        "check_model",
        "fit_model",
        "view",
        "choose",
    ],
    "author_hooks": ["_utilities", "_select", "_extra_fields"],
}
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    # Names in place of objects, so that the configuration can be cached.
    "within_subsection_order": "gallery.ReadingOrder",
    "minigallery_sort_order": "gallery.by_reading_order",
    "image_scrapers": "gallery.scrape",  # checks every picture for empty panels and the like
    "image_srcset": ["2x"],
    "backreferences_dir": "api/examples",  # of each name, the examples that use it
    "doc_module": "skada_active",
    "reference_url": {"skada_active": None},  # names in the code of examples are links to these pages
    "abort_on_example_error": True,
    "capture_repr": (),  # what examples print is enough: legends and axes need no line of their own
    "show_memory": False,
    "write_computation_times": False,  # tables whose scripts come from the network
    "min_reported_time": 1,
    "download_all_examples": False,
}

html_theme = "pydata_sphinx_theme"
html_title = f"skada-active {release}"
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_show_sourcelink = False
# Pages without a section of their own need no column for it.
html_sidebars = {page: [] for page in ("index", "install", "performance", "glossary", "internals")}
html_static_path = ["_static"]
html_css_files = ["custom.css"]
