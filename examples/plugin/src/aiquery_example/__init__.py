"""An example plugin of aiquery: the provider ``command`` and the AI function ``ai_keywords``."""
