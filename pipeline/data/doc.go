// Package data reads labelled images and hands them out as batches.
//
// [Open] takes one path and recognises what is there:
//
//   - a folder of class folders holding png, jpeg, gif, bmp or webp images, with
//     train/ and test/ or val/ above them where present, see below;
//   - a .tar, .tar.gz, .tgz or .zip of any of these formats, read in place and
//     never unpacked to disk;
//   - CIFAR-10 and CIFAR-100 binary batches;
//   - MNIST-style IDX files, plain or gzip-compressed;
//   - SVHN's cropped digits, train_32x32.mat and test_32x32.mat.
//
// The result is a [Set]: class names and three [Split]s (train, val, test) whose
// samples all have one size and one number of channels. A [Loader] turns a Split
// into shuffled, augmented batches of bytes in NHWC order.
//
// # What an image becomes
//
// Every image becomes H*W*C bytes, 0..255, row by row, channels last, RGB order.
// C is 1 or 3. Colour becomes grey by PIL's rule for mode "L" (Rec. 601 luma);
// grey becomes colour by repetition. Alpha is composited over white. 16-bit
// samples keep their high byte. CMYK is converted as image/color does. Of an
// animation, GIF or WebP, the first frame is taken. A JPEG is turned upright as its EXIF
// orientation says. JPEG chroma is interpolated the way libjpeg does by default,
// so that pixels are those that PIL, OpenCV and TensorFlow showed a teacher.
// An image of another size is resized with a bilinear filter that averages when
// it shrinks; [Fit] says what happens when the aspect ratio differs.
//
// # What a folder means
//
// docs/DATA.md has the table of what folders are taken for: splits by the words of
// their names, classes, and what could mean two things, which is refused. A folder
// that stands alone above the others is passed by, as archives are often made of one.
//
// Beside splits, other folders are left out and counted, also those whose names
// say that they have no labels (seg_pred, unlabelled) and a test/ without class
// folders. Set.LeftOut and Set.Notes say all that was decided.
//
// Classes are the folders of the training set, whether or not their files can be
// read: one without a readable image is refused, or stays a class under
// Options.AllowEmpty, so that no label moves. Val and test may lack classes, with
// a note; one that train lacks is an error. Names are compared in Unicode's
// composed form, which macOS does not write. Classes are sorted by name, or by
// value where all names are whole numbers.
//
// Hidden files and what network storage, Windows and macOS strew about (@eaDir,
// #recycle, lost+found, Thumbs.db) are passed by and counted.
//
// Symbolic links are followed, in archives where they lead to an entry of the
// archive; others are counted. A folder that only keeps what links in other
// folders name is left out.
//
// # Splits
//
// A missing test set is cut from the training set first, then a missing validation
// set. Cuts are stratified: each class gives the same share, rounded to the nearest
// image, at least one where the class has two or more, never all. Which images are cut depends on the seed and on each image's
// identity alone, so neither the container nor [Options.Limit] moves a sample
// between splits.
//
// # Reproducibility
//
// Nothing here depends on goroutine scheduling. Shuffles and augmentations are
// drawn from generators keyed by (seed, epoch) and by (seed, sample identity,
// view), so a batch has the same bytes whatever was loaded before it, and a
// Loader can start at any batch of any epoch.
//
// # Hostile input
//
// An archive or image may be wrong on purpose. Image dimensions are read and
// bounded before a file is read to its end and before pixels are decoded, declared
// lengths are checked against what the file can hold before memory is taken, bytes
// held from compressed archives are bounded and so is what is inflated and passed
// over, names that leave the archive are refused, and a decoder that panics is
// reported as a bad image.
//
// The package imports nothing of this module.
package data
