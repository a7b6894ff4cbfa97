"""The torch modules of methods whose options stand in ``pretrain.methods``: plans read those and import no torch."""
