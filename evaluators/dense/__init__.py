"""What segmentation and detection share: they run on OpenMMLab's libraries with this suite's backbones."""
