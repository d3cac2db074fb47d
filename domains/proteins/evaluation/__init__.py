"""How protein-like backbones are, beside real ones and simple constructions, without a learned judge."""
