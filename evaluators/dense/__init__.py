"""Code shared by segmentation and detection, which run on OpenMMLab's libraries with this suite's backbones."""
