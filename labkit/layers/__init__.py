"""A layer: a tar archive that becomes files, and files that become one. Chapter 11.

    tar_member, tar_records, tar_reader, tar_writer    the archive, byte by byte
    compression                                        gzip, zstd, the archive's hash
    root, below                                        a directory that keeps all inside
    whiteouts, apply                                   the archive becomes files
    pack                                               files become an archive

What an image is, the package above knows.
"""
